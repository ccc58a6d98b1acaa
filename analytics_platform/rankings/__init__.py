"""What is popular and what is trending, by country and by category: formulas, questions to the warehouse, documents."""
