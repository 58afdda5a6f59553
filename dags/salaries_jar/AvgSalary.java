import java.util.Arrays;
import org.apache.spark.sql.Encoders;
import org.apache.spark.sql.SparkSession;

/** AvgSalary FOLDER: ten employees, and what their departments pay on the average, as CSV. */
public class AvgSalary {
    public static void main(String[] args) {
        String[] employees = {
            "Ahn,Engineering,5200", "Baek,Engineering,4800", "Cho,Engineering,6100", "Do,Sales,3900", "Eom,Sales,4200",
            "Han,Sales,3600", "Im,Finance,4700", "Jang,Finance,5100", "Kim,Marketing,4100", "Lee,Marketing,4300"};
        SparkSession spark = SparkSession.builder().getOrCreate();
        spark.read()
            .schema("name STRING, department STRING, salary INT")
            .csv(spark.createDataset(Arrays.asList(employees), Encoders.STRING()))
            .createOrReplaceTempView("employees");
        spark.sql("SELECT department, CAST(avg(salary) AS DECIMAL(10, 2)) FROM employees GROUP BY department ORDER BY department")
            .coalesce(1).write().csv(args[0]);
        spark.stop();
    }
}
