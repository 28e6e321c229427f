"""MuJoCo tasks, registered with gymnasium: `gymnasium.make("envs:robolearn/Avoid-v0")`."""

from gymnasium.envs.registration import register

# Task class by id, imported when an environment is made.
TASKS = {
    "robolearn/Avoid-v0": "envs.avoid:Avoid",
    "robolearn/AvoidField-v0": "envs.avoid_field:AvoidField",
    "robolearn/AvoidFieldPixels-v0": "envs.avoid_field:AvoidFieldPixels",
    "robolearn/AvoidPixels-v0": "envs.avoid_pixels:AvoidPixels",
    "robolearn/Insert-v0": "envs.insert:Insert",
    "robolearn/Push-v0": "envs.push:Push",
    "robolearn/PushT-v0": "envs.pusht:PushT",
}

for _id, _task in TASKS.items():
    register(
        _id,
        entry_point="envs.drivers:TaskEnv",
        vector_entry_point="envs.drivers:TaskVectorEnv",
        kwargs={"task": _task},
    )
