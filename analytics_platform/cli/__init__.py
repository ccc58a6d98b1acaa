"""The command line: one verb per job a person has. Wording, options, exit codes and progress; no logic."""
