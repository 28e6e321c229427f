"""Data sets of LeRobot: tables in parquet, cameras in videos, facts in JSON; read from v2.0 on, written as v3.0."""
