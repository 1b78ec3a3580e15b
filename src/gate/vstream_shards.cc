#include "gate/vstream_shards.h"

#include <fmt/core.h>

#include <algorithm>

#include "base/text.h"
#include "mysqld/rows.h"

namespace vitrail::gate {

Result<std::vector<::binlogdata::ShardGtid>> vstream_starts(const ::binlogdata::VGtid& wanted, const View& view,
                                                            std::string_view tablet_type) {
  if (wanted.shard_gtids_size() == 0) {
    return fail(Code::kInvalidArgument, "vgtid must have at least one value with a starting position");
  }
  std::vector<::binlogdata::ShardGtid> out;
  std::set<ShardName> seen;
  for (const auto& start : wanted.shard_gtids()) {
    if (start.keyspace().empty()) return fail(Code::kInvalidArgument, "a shard_gtid of the vgtid names no keyspace");
    std::vector<std::string> shards{start.shard()};
    if (start.shard().empty()) {
      const auto* serving = view.find_shards(start.keyspace(), tablet_type);
      if (serving == nullptr || serving->empty()) {
        return fail(Code::kNotFound,
                    fmt::format("keyspace {} has no shard that serves {}", start.keyspace(), tablet_type));
      }
      shards.clear();
      for (const ActiveShard& shard : *serving) shards.push_back(shard.name);
    }
    for (std::string& shard : shards) {
      if (!seen.emplace(start.keyspace(), shard).second) {
        return fail(Code::kInvalidArgument, fmt::format("the vgtid has {}/{} twice", start.keyspace(), shard));
      }
      ::binlogdata::ShardGtid one = start;
      one.set_shard(std::move(shard));
      out.push_back(std::move(one));
    }
  }
  return out;
}

std::vector<std::string> vstream_tables(const movement::Filter& filter, const schema::Keyspace& tables,
                                        const std::vector<std::string>& only) {
  std::vector<std::string> out;
  for (const auto& [name, table] : tables) {
    if (movement::is_internal_table(name) || filter.find(name) == nullptr) continue;
    if (only.empty() || std::ranges::find(only, name) != only.end()) out.push_back(name);
  }
  return out;
}

std::string vstream_row_query(const movement::Filter& filter, std::string_view table) {
  const std::string text(filter.find_text(table));
  if (base::to_lower(std::string_view(text).substr(0, 6)) == "select") return text;
  const std::string all = "select * from " + mysqld::quote_identifier(table);
  return text.empty() ? all : fmt::format("{} where in_keyrange('{}')", all, text);
}

void vstream_qualify(::binlogdata::VEvent& event, const std::string& keyspace) {
  const auto qualify = [&](auto& part) { part.set_table_name(keyspace + "." + part.table_name()); };
  if (event.has_row_event()) qualify(*event.mutable_row_event());
  if (event.has_field_event()) qualify(*event.mutable_field_event());
}

VStreamPosition::VStreamPosition(std::vector<::binlogdata::ShardGtid> starts) {
  for (auto& start : starts) {
    ShardName name(start.keyspace(), start.shard());
    shards_.emplace(std::move(name), std::move(start));
  }
}

std::vector<ShardName> VStreamPosition::names() const {
  std::vector<ShardName> out;
  for (const auto& [name, position] : shards_) out.push_back(name);
  return out;
}

::binlogdata::VGtid VStreamPosition::to_proto() const {
  ::binlogdata::VGtid out;
  for (const auto& [name, position] : shards_) *out.add_shard_gtids() = position;
  return out;
}

bool VStreamPosition::resolved() const {
  return std::ranges::none_of(shards_, [](const auto& shard) { return shard.second.gtid() == kNow; });
}

bool VStreamSkew::must_wait(const ShardName& shard, base::TimePoint now) const {
  const auto own = shards_.find(shard);
  if (own == shards_.end()) return false;
  return std::ranges::any_of(shards_, [&](const auto& other) {
    return now - other.second.at < kSilent && own->second.seconds - other.second.seconds > kMax;
  });
}

bool vstream_moves(const ShardName& shard, const ::binlogdata::Journal& journal) {
  if (journal.migration_type() != ::binlogdata::SHARDS) return false;
  return std::ranges::any_of(journal.participants(), [&](const ::binlogdata::KeyspaceShard& one) {
    return one.keyspace() == shard.first && one.shard() == shard.second;
  });
}

Result<std::optional<std::vector<ShardName>>> VStreamPosition::arrive(const ShardName& shard,
                                                                      const ::binlogdata::Journal& journal) {
  std::set<ShardName> taking_part;
  for (const auto& one : journal.participants()) taking_part.emplace(one.keyspace(), one.shard());
  for (const ShardName& one : taking_part) {
    if (shards_.contains(one)) continue;
    return fail(Code::kFailedPrecondition,
                fmt::format("{}/{} was resharded together with {}/{}, which is no part of this stream: begin one with "
                            "all shards of the keyspace",
                            shard.first, shard.second, one.first, one.second));
  }
  auto& arrived = arrived_[journal.id()];
  arrived.insert(shard);
  if (arrived != taking_part) return std::nullopt;
  arrived_.erase(journal.id());
  for (const ShardName& one : taking_part) shards_.erase(one);
  std::vector<ShardName> next;
  for (const auto& position : journal.shard_gtids()) {
    ShardName name(position.keyspace(), position.shard());
    shards_[name] = position;
    next.push_back(std::move(name));
  }
  return next;
}

}  // namespace vitrail::gate
