"""The controller, environments by id, the engine, metrics, replay and video."""
