# Who is not known is not announced, whatever she does; who clicks in a mail is known by the address alone.
2024-02-01  visit anon:x           -
2024-02-02  order anon:x o1 40.00  -
2024-02-02  visit anon:y           -
2024-03-05  visit anon:y           -
2024-03-06  mail-clicked email:z   acquisition    entry (reach)
2024-06-04  timer email:z          dormant        dormancy
2024-06-05  end
