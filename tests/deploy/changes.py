"""Changes to what was deployed: those of another writer, whose digest is right, and those of anyone else."""

import json

from robolearn.deploy import runtime


def rewrite(directory, **changes):
    """A policy.json that another one would have written."""
    facts = json.loads((directory / "policy.json").read_text()) | changes
    (directory / "policy.json").write_text(json.dumps(facts | {"sha256": runtime.digest_of(facts)}))


def change(path, old, new):
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new, 1))
