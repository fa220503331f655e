import os

FORK = os.environ["COPPELIA_DOUBLE_FLAVOUR"] == "fork"
