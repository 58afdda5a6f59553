"""Called by nightly.yaml: do PostgreSQL and Spark say the same?"""

import json
import math


def agree(loaded, kept, postgres, spark):
    if loaded != kept:
        raise ValueError(f"{kept} orders were clean, {loaded} are in the table")
    with open(spark, encoding="utf-8") as file:
        other = json.load(file)
    for row in postgres:
        peer = other[row["region"]]
        print(f"{row['region']}: {row['orders']} orders, {row['average']:.4f} on the average")
        # Spark's average of a decimal has six places.
        if row["orders"] != peer["orders"] or not math.isclose(row["average"], peer["average"], abs_tol=1e-6):
            raise ValueError(f"PostgreSQL and Spark differ: {row} and {peer}")
    return {"best": max(postgres, key=lambda row: row["average"])["region"]}
