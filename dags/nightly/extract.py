"""Makes the day's orders: there is no shop to ask here. One line in a hundred is broken."""

import random

REGIONS = ["AP", "EU", "KR", "US"]


def write_orders(rows, ds):
    dice = random.Random(ds)
    with open("orders.csv", "w", encoding="utf-8") as file:
        file.write("id,region,amount\n")
        for number in range(1, rows + 1):
            amount = f"{dice.uniform(1, 500):.2f}"
            broken = dice.randrange(300)
            if broken == 0:
                amount = "n/a"
            elif broken == 1:
                amount = ""
            file.write(f"{number},{dice.choice(REGIONS)},{amount}{',?' if broken == 2 else ''}\n")
    print(f"{rows} orders of {ds}")
