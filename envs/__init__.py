"""Environments: suites as data, adapters of simulators, and the runner. Importing this registers the Gymnasium ids."""

from envs.gym_env import register_all

register_all()
