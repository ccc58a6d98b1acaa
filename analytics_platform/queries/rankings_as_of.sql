{# The moment (UTC) as of which videos were last ranked, NULL when never. #}
SELECT max(as_of) AS as_of FROM results.rankings_popular
