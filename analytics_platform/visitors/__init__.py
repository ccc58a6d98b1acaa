"""Who opened which pages in a window of time: the questions to the warehouse, the report, its words."""
