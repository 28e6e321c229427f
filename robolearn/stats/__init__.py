"""Every statistic of results, on arrays: intervals, paired differences, coverage of modes, agreement of chunks."""
