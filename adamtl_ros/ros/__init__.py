"""The thin ROS layer: messages to arrays and back, parameters, topics, the node."""
