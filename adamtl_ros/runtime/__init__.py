"""Frame in, results out: what the node and the offline evaluation share. Imports no ROS."""
