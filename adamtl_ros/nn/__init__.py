"""The adaptive network. Imports torch and the task table, nothing above them."""
