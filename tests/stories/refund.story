# Who gives back the only order is a lead again; part of the money, or an order that cost nothing, changes nothing.
2024-02-01  visit ann              reach          entry
2024-02-02  order ann o1 40.00     conversion     skip (acquisition)
2024-02-05  refund ann o1 15.00    -
2024-02-09  refund ann o1 25.00    acquisition    reversal
2024-02-10  order ann o2 0.00      conversion     advance
2024-02-11  refund ann o2 0.00     -
2024-02-12  cancel ann o2          acquisition    reversal
2024-05-01  timer ann              dormant        dormancy
2024-05-02  end
