class Observation:
    """Fields that are switched off are None."""

    def __init__(self, **fields):
        self.__dict__.update(fields)
