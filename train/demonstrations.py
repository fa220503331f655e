"""The demonstrations that a training run's settings name."""

from dataclasses import dataclass

from envs.spec import InputError
from envs.suite import load_suite
from model.actions import KEYFRAME_EEF, ActionConvention
from train.config import LoopConfig
from train.lerobot.dataset import DemoDataset, read_dataset
from train.mapping.mapping import load_mapping
from train.mapping.read import read_mapped


@dataclass(frozen=True)
class Demonstrations:
    """What a policy learns from.

    Attributes:
        training: To learn from.
        held_out: To watch; None where there are none.
        convention: Meaning of the actions.
    """

    training: DemoDataset
    held_out: DemoDataset | None = None
    convention: ActionConvention = KEYFRAME_EEF


def read_demonstrations(config: LoopConfig) -> Demonstrations:
    """Reads them: our own, or any LeRobot dataset through a mapping.

    Raises:
        InputError: They are missing, or something else than the settings say, or the suite's simulator, which says
            what its actions mean, is not installed.
    """
    if config.mapping is None:
        suite = load_suite(config.suite)
        convention = suite.spec(next(iter(suite.tasks))).convention  # all tasks of a suite have one
        held_out = read_dataset(config.validation) if config.validation else None
        return Demonstrations(read_dataset(config.demonstrations), held_out, convention)
    if config.validation:
        raise InputError("--validation does not go with --mapping: name the mapping's validation_episodes instead.")
    mapping = load_mapping(config.mapping)
    held_out = read_mapped(mapping, config.data, held_out=True) if mapping.validation_episodes else None
    return Demonstrations(read_mapped(mapping, config.data), held_out, mapping.convention)
