"""Says whether ManiSkill's suites can run here, and what is missing where they cannot.

python -m envs.maniskill.check
"""

import argparse
import sys

from envs.maniskill import expert, install
from envs.spec import InputError


def main() -> int:
    """Prints the result; returns 0 where the suites can run, 2 where not."""
    argparse.ArgumentParser("python -m envs.maniskill.check", description=__doc__).parse_args()
    try:
        version = install.version()
        install.check_driver()
    except InputError as error:
        print(f"ManiSkill's suites cannot run here: {error}")
        return 2
    print(f"ManiSkill {version}: its suites can run here. Drivers: {', '.join(install.driver_names()) or 'unknown'}.")
    try:
        expert.check_planner()
        print("Its experts can run here, too.")
    except InputError as error:
        print(f"Its experts cannot: {error}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
