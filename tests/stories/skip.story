# An order out of nothing skips the stages below; a second and a third day of orders climb one by one.
2024-02-01  visit ann              reach          entry
2024-02-03  order ann o1 40.00     conversion     skip (acquisition)
2024-02-03  order ann o2 10.00     -
2024-02-29  order ann o3 25.00     retention      advance
2024-03-01  order ann o4 25.00     loyalty        advance
2024-03-01  order ben o5 5.00      conversion     entry (reach acquisition)
