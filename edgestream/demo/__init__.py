"""The demo: a trajectory that this project made itself, and the program that makes it."""
