# Silence makes a customer at_risk after 90 days and churned after 180; an order brings her back, where the table puts her.
2024-02-01  order ann o1 40.00     conversion     entry (reach acquisition)
2024-05-01  timer ann              at_risk        at_risk
2024-05-20  visit ann              -
2024-07-30  timer ann              churned        churn
2024-08-09  order ann o2 15.00     retention      reactivation
2024-11-07  timer ann              at_risk        at_risk
2024-11-08  order ann o3 15.00     loyalty        recovery
2025-01-31  timer ann              retention      demotion
2025-02-06  timer ann              at_risk        at_risk
2025-02-07  end
