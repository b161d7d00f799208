"""PostgreSQL: engine and transactions, tables, queries, migrations, hypertables, the embedded server."""
