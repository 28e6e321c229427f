"""Runs and stores on remote file systems, s3:// and others of fsspec: worked on as copies here, kept the same there."""
