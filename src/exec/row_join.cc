#include "exec/row_join.h"

#include <algorithm>
#include <numeric>
#include <optional>
#include <set>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "mysql/messages.h"

namespace vitrail::exec {

Status RowJoin::keep(size_t bytes) const { return memory_ == nullptr ? Status{} : memory_->add(bytes); }

Result<RowJoin::Keys> RowJoin::keys() const {
  const size_t width = how_.parts.size();
  Keys best;
  for (const auto& link : how_.parts[parts_.size()].links) {
    const Part& other = *parts_[link.part];
    std::set<std::string_view> values;
    for (size_t at = link.part; at < joined_.size(); at += width) {
      if (joined_[at] == kNone) continue;
      if (const auto& cell = other.row(joined_[at])[link.place]) values.insert(*cell);
    }
    if (best.link != nullptr && best.values.size() <= values.size()) continue;
    best.link = &link;
    best.values.assign(values.begin(), values.end());
  }
  if (best.link == nullptr || !best.link->by_list.charset.empty()) return best;
  // ZEROFILL has zeros before its numbers.
  for (auto& value : best.values) {
    const size_t digits = value.find_first_not_of('0');
    value.erase(0, digits == std::string::npos ? value.size() - 1 : digits);
  }
  return best;
}

void RowJoin::begin(std::vector<mysql::ColumnDef> columns) {
  parts_.push_back(std::make_unique<Part>());
  parts_.back()->columns = std::move(columns);
}

Status RowJoin::add(std::string bytes, std::span<const size_t> ends) {
  Part& part = *parts_.back();
  RETURN_IF_ERROR(keep(bytes.size() + ends.size() * part.columns.size() * sizeof(mysql::Cell)));
  bytes_.push_back(std::move(bytes));
  std::vector<mysql::Cell> cells;
  size_t begin = 0;
  for (const size_t end : ends) {
    const std::string_view payload = std::string_view(bytes_.back()).substr(begin, end - begin);
    RETURN_IF_ERROR(mysql::decode_text_row(payload, part.columns.size(), cells));
    part.cells.insert(part.cells.end(), cells.begin(), cells.end());
    begin = end;
  }
  part.rows += ends.size();
  full_ = full_ || part.rows > max_rows_;
  return {};
}

Result<std::string> RowJoin::identity(const std::vector<KeyComparer>& keys, std::span<const Cells> rows) {
  std::string out;
  for (size_t i = 0; i < keys.size(); ++i) {
    if (keys[i].is_null(rows[i])) return std::string();
    ASSIGN_OR_RETURN(const std::string bytes, keys[i].identity(rows[i]));
    const uint64_t size = bytes.size();
    out.append(reinterpret_cast<const char*>(&size), sizeof size);
    out += bytes;
  }
  return out;
}

Status RowJoin::end() {
  const size_t at = parts_.size() - 1;
  const size_t width = how_.parts.size();
  const Part& part = *parts_.back();
  const auto& links = how_.parts[at].links;
  std::vector<uint32_t> tuple(width, kNone);
  const auto put = [&](std::vector<uint32_t>& out, size_t row) {
    tuple[at] = static_cast<uint32_t>(row);
    out.insert(out.end(), tuple.begin(), tuple.end());
    full_ = full_ || out.size() / width > max_rows_;
  };
  if (at == 0) {
    for (size_t i = 0; i < part.rows && !full_; ++i) put(joined_, i);
    return keep(joined_.size() * sizeof(uint32_t));
  }
  std::vector<KeyComparer> own;
  std::vector<KeyComparer> others;
  for (const auto& link : links) {
    own.emplace_back(link.own, part.columns, 0);
    others.emplace_back(link.other, parts_[link.part]->columns, 0);
  }
  std::unordered_map<std::string, std::vector<uint32_t>> places;
  std::vector<Cells> rows(links.size());
  for (size_t i = 0; i < part.rows; ++i) {
    std::ranges::fill(rows, part.row(i));
    ASSIGN_OR_RETURN(std::string key, identity(own, rows));
    if (!key.empty()) places[std::move(key)].push_back(static_cast<uint32_t>(i));
  }
  std::vector<uint32_t> met;
  for (size_t begin = 0; begin < joined_.size() && !full_; begin += width) {
    std::copy_n(joined_.begin() + static_cast<ptrdiff_t>(begin), width, tuple.begin());
    bool missing = false;
    for (size_t i = 0; i < links.size(); ++i) {
      const uint32_t row = tuple[links[i].part];
      missing = missing || row == kNone;
      if (row != kNone) rows[i] = parts_[links[i].part]->row(row);
    }
    std::string key;
    if (!missing) {
      ASSIGN_OR_RETURN(key, identity(others, rows));
    }
    const auto found = key.empty() ? places.end() : places.find(key);
    if (found != places.end()) {
      for (size_t i = 0; i < found->second.size() && !full_; ++i) put(met, found->second[i]);
    } else if (how_.parts[at].optional) {
      put(met, kNone);
    }
  }
  joined_ = std::move(met);
  return keep(joined_.size() * sizeof(uint32_t));
}

std::vector<mysql::ColumnDef> RowJoin::columns() const {
  std::vector<mysql::ColumnDef> out;
  for (const auto& column : how_.columns) {
    out.push_back(parts_[column.part]->columns[column.place]);
    const auto& part = how_.parts[column.part];
    out.back().schema = part.rows.keyspace;
    out.back().org_table = part.rows.table;
    if (part.optional) out.back().flags &= static_cast<uint16_t>(~mysql::kFieldNotNull);
  }
  return out;
}

Result<std::vector<std::vector<mysql::Cell>>> RowJoin::rows() const {
  const size_t width = how_.parts.size();
  std::vector<std::vector<mysql::Cell>> out;
  out.reserve(joined_.size() / width);
  RETURN_IF_ERROR(keep(joined_.size() / width * how_.columns.size() * sizeof(mysql::Cell)));
  for (size_t begin = 0; begin < joined_.size(); begin += width) {
    auto& row = out.emplace_back();
    row.reserve(how_.columns.size());
    for (const auto& column : how_.columns) {
      const uint32_t place = joined_[begin + column.part];
      row.push_back(place == kNone ? mysql::Cell() : parts_[column.part]->row(place)[column.place]);
    }
  }
  const RowMerge merge(how_.merge, columns(), {});
  std::optional<Error> error;
  std::vector<size_t> order(out.size());
  std::iota(order.begin(), order.end(), size_t{0});
  const auto before = [&](size_t a, size_t b) {
    auto compared = merge.compare(out[a], out[b]);
    if (!compared.ok()) error = std::move(compared).error();
    if (error) return a < b;
    return *compared != 0 ? *compared < 0 : a < b;
  };
  if (!how_.merge.order_by.empty()) std::ranges::sort(order, before);
  if (error) return std::move(*error);
  std::vector<std::vector<mysql::Cell>> sorted;
  const size_t skipped = std::min<size_t>(how_.merge.offset, out.size());
  const size_t most = std::min<uint64_t>(how_.merge.limit.value_or(UINT64_MAX), out.size() - skipped);
  for (const size_t place : std::span(order).subspan(skipped, most)) sorted.push_back(std::move(out[place]));
  return sorted;
}

}  // namespace vitrail::exec
