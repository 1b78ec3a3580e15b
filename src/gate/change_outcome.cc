#include "gate/change_outcome.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>

namespace vitrail::gate {
namespace {

constexpr size_t kStatementBytes = size_t{512} << 10;  // Of a statement that is sent for many rows; one may have more.
constexpr size_t kStatementRows = 1000;

}  // namespace

std::vector<uint64_t> numbers_of(std::string_view info) {
  std::vector<uint64_t> out;
  for (size_t at = info.find_first_of("0123456789"); at < info.size(); at = info.find_first_of("0123456789", at)) {
    uint64_t number = 0;
    const auto [end, error] = std::from_chars(info.data() + at, info.data() + info.size(), number);
    if (error != std::errc()) return {};
    out.push_back(number);
    at = static_cast<size_t>(end - info.data());
  }
  return out;
}

void ChangeOutcome::add(const net::QueryResult& result, uint64_t rows, bool ignore) {
  affected += result.ok.affected_rows;
  if (result.ok.last_insert_id != 0) servers_insert_id = result.ok.last_insert_id;
  const auto numbers = numbers_of(result.ok.info);
  if (result.ok.info.starts_with("Rows matched") && numbers.size() >= 2) {
    updates = true;
    matched += numbers[0];
    changed += numbers[1];
  } else if (result.ok.info.starts_with("Records") && numbers.size() >= 2) {
    records += numbers[0];
    duplicates += numbers[1];
  } else if (rows > 0) {  // Of one row servers do not tell.
    records += rows;
    const uint64_t of_row = result.ok.affected_rows;
    if (ignore) duplicates += of_row == 0 ? 1 : 0;
    if (!ignore && of_row > 1) duplicates += of_row - 1;
  }
  if (result.columns.empty()) return;
  if (!returned) {
    returned = result;
  } else {
    returned->rows.insert(returned->rows.end(), result.rows.begin(), result.rows.end());
  }
}

ChangeOutcome::InsertId ChangeOutcome::insert_id() const {
  InsertId out{.told = last_insert_id};
  if (ignore && affected == 0) out.told = 0;  // Of rows that are not there after all.
  const bool servers = takes_servers_insert_id || tells_found_id;
  if (out.told == 0 || (servers && servers_insert_id != 0)) out.told = servers_insert_id;
  const bool given = out.told == 0 && !(ignore && affected == 0);
  if (given) out.told = given_id;
  const bool found = given || (tells_found_id && servers_insert_id != 0);
  out.remembered = out.told != 0 && !id_given && !found;
  return out;
}

std::string ChangeOutcome::info(uint16_t warnings) const {
  if (!told_info.empty()) return told_info;
  if (updates) return fmt::format("Rows matched: {}  Changed: {}  Warnings: {}", matched, changed, warnings);
  if (records > 1 || tells_records) {
    return fmt::format("Records: {}  Duplicates: {}  Warnings: {}", records, duplicates, warnings);
  }
  return "";
}

std::optional<InsertBatch> InsertBatches::add(const shard::Target& target, std::string_view row) {
  auto at = std::ranges::find(batches_, target, &InsertBatch::target);
  if (at == batches_.end())
    at = batches_.insert(batches_.end(), InsertBatch{.target = target, .text = prefix_, .places = {}});
  if (!at->places.empty()) at->text += ",";
  at->text += row;
  at->places.push_back(next_++);
  if (at->text.size() < kStatementBytes && at->places.size() < kStatementRows) return std::nullopt;
  InsertBatch full = std::exchange(*at, InsertBatch{.target = target, .text = prefix_, .places = {}});
  full.text += suffix_;
  return full;
}

std::vector<InsertBatch> InsertBatches::rest() {
  std::erase_if(batches_, [](const InsertBatch& batch) { return batch.places.empty(); });
  for (auto& batch : batches_) batch.text += suffix_;
  return std::exchange(batches_, {});
}

void ChangeOutcome::note_places(const std::vector<uint64_t>& places, size_t rows) {
  if (!returned) return;
  ordered = ordered && places.size() == rows;
  returned_places.insert(returned_places.end(), places.begin(), places.end());
}

void ChangeOutcome::order_returned() {
  if (!returned || !ordered || returned_places.size() != returned->rows.size()) return;
  std::vector<std::vector<std::optional<std::string>>> rows(returned->rows.size());
  std::vector<size_t> order(rows.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::ranges::sort(order, {}, [&](size_t i) { return returned_places[i]; });
  for (size_t i = 0; i < order.size(); ++i) rows[i] = std::move(returned->rows[order[i]]);
  returned->rows = std::move(rows);
}

}  // namespace vitrail::gate
