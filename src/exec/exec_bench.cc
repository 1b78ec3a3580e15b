#include "base/bench.h"
#include "exec/merge.h"

int main(int argc, char** argv) {
  using namespace vitrail;
  const base::Bench bench(argc, argv);
  constexpr size_t kShards = 8;
  constexpr size_t kRows = 1000;  // Of each.
  plan::Merge merge;
  merge.order_by.push_back({.column = 0});
  std::vector<net::QueryResult> shards(kShards);
  for (size_t shard = 0; shard < kShards; ++shard) {
    mysql::ColumnDef column;
    column.name = "id";
    column.type = mysql::FieldType::kLongLong;
    shards[shard].columns = {column};
    for (size_t row = 0; row < kRows; ++row) shards[shard].rows.push_back({std::to_string(row * kShards + shard)});
  }
  std::vector<net::QueryResult> copy;
  bench.measure("merge of sorted rows of 8 shards, their copy included", kShards * kRows, 200, [&] {
    copy = shards;
    auto merged = exec::merge_results(merge, std::move(copy), kShards * kRows);
    base::keep(merged.ok());
  });
}
