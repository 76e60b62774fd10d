# A lead that cools is dormant 90 days after the last sign of life; mails sent or delivered to her are none, a click is.
2024-02-01  mail-delivered eve     reach          entry
2024-02-02  lead eve               acquisition    advance
2024-03-02  mail-opened eve        -
2024-04-01  mail-delivered eve     -
2024-05-31  timer eve              dormant        dormancy
2024-06-01  mail-delivered eve     -
2024-06-03  mail-clicked eve       acquisition    recovery
2024-09-01  timer eve              dormant        dormancy
2024-09-02  order eve o1 9.99      conversion     recovery
