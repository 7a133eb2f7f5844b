# Source this for a shell with ROS 2 and adamtl_ros, made by `make setup`.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
unset PYTHONPATH LD_LIBRARY_PATH COLCON_PREFIX_PATH
. "$root/.venv/bin/activate"
export AMENT_PREFIX_PATH="$root/.venv"
. "$root/install/local_setup.bash"
unset root
