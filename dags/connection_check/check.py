"""Called by connection_check.yaml."""

import reeve


def check_postgres(logical_date):
    connection = reeve.connection("my_postgres_conn")
    print(f"{connection.host}:{connection.port}, database {connection.schema}, user {connection.login}, asked at {logical_date}")
    with connection.psycopg() as db:
        (one,) = db.execute("SELECT 1").fetchone()
        (version,) = db.execute("SELECT version()").fetchone()
    print("SELECT 1 gave", one)
    print("version:", version)
    if one != 1:
        raise ValueError(f"SELECT 1 gave {one!r}")
    return {"version": version}
