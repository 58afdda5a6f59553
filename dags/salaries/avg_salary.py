"""Ten employees, and what their departments pay on the average."""

from pyspark.sql import SparkSession, functions

EMPLOYEES = [
    ("Ahn", "Engineering", 5200), ("Baek", "Engineering", 4800), ("Cho", "Engineering", 6100), ("Do", "Sales", 3900),
    ("Eom", "Sales", 4200), ("Han", "Sales", 3600), ("Im", "Finance", 4700), ("Jang", "Finance", 5100),
    ("Kim", "Marketing", 4100), ("Lee", "Marketing", 4300),
]

spark = SparkSession.builder.getOrCreate()
employees = spark.createDataFrame(EMPLOYEES, ["name", "department", "salary"])
averages = employees.groupBy("department").agg(functions.avg("salary").alias("average")).orderBy("department")
averages.show()
rows = averages.collect()
spark.stop()  # first, so that Spark's own lines do not come between these
for row in rows:
    print(f"{row.department}: {row.average:.2f}")
