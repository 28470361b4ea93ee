"""The task `rank_return`: the rank of each name's return over k sessions within its session, judged by IC, deciles and book."""
