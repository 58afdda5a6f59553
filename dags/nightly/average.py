"""average.py ORDERS RESULT: the average amount by region, from CSV to JSON."""

import json
import os
import sys

from pyspark.sql import SparkSession, functions

source, result = sys.argv[1:]
spark = SparkSession.builder.getOrCreate()
orders = spark.read.csv("file://" + os.path.abspath(source), header=True, schema="id BIGINT, region STRING, amount DECIMAL(10, 2)")
rows = orders.groupBy("region").agg(functions.count("*").alias("orders"), functions.avg("amount").alias("average")).collect()
with open(result, "w", encoding="utf-8") as file:
    json.dump({row.region: {"orders": row.orders, "average": float(row.average)} for row in rows}, file, sort_keys=True)
spark.stop()
