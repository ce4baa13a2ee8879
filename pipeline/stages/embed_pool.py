"""Stage embed-pool: the features of a frozen network for every content of the pool, before identification."""

from pipeline import stages
from pipeline.stages.embed import embed
from pipeline.workspace import Workspace


def main(workspace: Workspace) -> None:
    embed(workspace, "embed-pool", workspace.pool_table, workspace.pool_features)


if __name__ == "__main__":
    stages.run("embed-pool", main)
