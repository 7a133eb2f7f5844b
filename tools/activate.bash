# Source this for a shell with ROS 2 and adamtl_ros, made by `make setup`.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# A ROS installation that is sourced, and its middleware, would get in the way of the wheels.
unset PYTHONPATH LD_LIBRARY_PATH COLCON_PREFIX_PATH RMW_IMPLEMENTATION
# With this the wheels take LD_LIBRARY_PATH for complete; processes below their Python inherit it.
unset _ROS_WHEELS_BOOTSTRAP_COMPLETE
. "$root/.venv/bin/activate"
export AMENT_PREFIX_PATH="$root/.venv"
. "$root/install/local_setup.bash"
# Shared memory large enough for images, unless you have a profile of your own.
: "${FASTDDS_DEFAULT_PROFILES_FILE:=$root/config/fastdds.xml}"
export FASTDDS_DEFAULT_PROFILES_FILE
unset root
