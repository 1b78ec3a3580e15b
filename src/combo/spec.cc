#include "combo/spec.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "shard/key_range.h"
#include "topo/paths.h"

namespace vitrail::combo {
namespace {

constexpr uint32_t kUidsPerShard = 100;

Result<std::vector<std::string>> shards_of(const std::string& text) {
  int count = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  if (error != std::errc() || end != text.data() + text.size() || count < 1) {
    return fail(Code::kInvalidArgument, fmt::format("--num-shards: \"{}\" is no number of shards", text));
  }
  if (count == 1) return std::vector<std::string>{"0"};
  return shard::generate_shard_ranges(count);
}

}  // namespace

Result<Spec> make_spec(const std::vector<std::string>& keyspaces, const std::vector<std::string>& num_shards,
                       uint32_t replicas, uint32_t rdonlys) {
  if (keyspaces.empty()) return fail(Code::kInvalidArgument, "--keyspaces: name at least one");
  if (num_shards.size() != 1 && num_shards.size() != keyspaces.size()) {
    return fail(Code::kInvalidArgument,
                fmt::format("--num-shards has {} numbers for {} keyspaces: give one for each, or one for all",
                            num_shards.size(), keyspaces.size()));
  }
  if (replicas < 1) return fail(Code::kInvalidArgument, "--replica-count: at least 1, which is the primary");
  Spec out;
  uint64_t tablets = 0;
  for (size_t i = 0; i < keyspaces.size(); ++i) {
    RETURN_IF_ERROR(topo::validate_name("keyspace", keyspaces[i]));
    if (std::ranges::find(out.keyspaces, keyspaces[i], &KeyspaceSpec::name) != out.keyspaces.end()) {
      return fail(Code::kInvalidArgument, fmt::format("--keyspaces names {} twice", keyspaces[i]));
    }
    ASSIGN_OR_RETURN(auto shards, shards_of(num_shards[num_shards.size() == 1 ? 0 : i]));
    tablets += shards.size() * (uint64_t{replicas} + rdonlys);
    out.keyspaces.push_back({keyspaces[i], std::move(shards)});
  }
  if (tablets > kTabletsMax) {
    return fail(Code::kInvalidArgument,
                fmt::format("{} tablets, each with a MySQL server, are too many for one process: at most {}", tablets,
                            kTabletsMax));
  }
  uint32_t first = 0;
  for (const KeyspaceSpec& keyspace : out.keyspaces) {
    for (const std::string& shard : keyspace.shards) {
      first += kUidsPerShard;
      for (uint32_t i = 0; i < replicas + rdonlys; ++i) {
        out.tablets.push_back({.uid = first + i,
                               .keyspace = keyspace.name,
                               .shard = shard,
                               .type = i < replicas ? "replica" : "rdonly",
                               .first = i == 0});
      }
    }
  }
  return out;
}

}  // namespace vitrail::combo
