// Every open vector of the corpora, so that rows placed by Vitess are found.

#include <fstream>
#include <string>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "base/hex.h"
#include "base/shared_for_test.h"
#include "shard/key_range.h"
#include "shard/shard_name.h"
#include "shard/unicode_weights.h"
#include "shard/vindex.h"

namespace vitrail::shard {
namespace {

using nlohmann::json;

json load_vectors(const std::string& file) {
  std::ifstream in(base::shared_folder() / "corpus" / "open" / file);
  if (!in) return json();
  return json::parse(in).at("vectors");
}

std::string bytes_of(const json& hex) { return base::hex_decode(hex.get<std::string>()).value(); }

// A range as the vectors write it; also ones that parse() refuses.
KeyRange range_of(const json& text) {
  const std::string s = text;
  if (s.empty()) return KeyRange();
  const size_t dash = s.find('-');
  return KeyRange(base::hex_decode(s.substr(0, dash)).value(), base::hex_decode(s.substr(dash + 1)).value());
}

int sign(std::strong_ordering order) { return order < 0 ? -1 : order > 0 ? 1 : 0; }

json names_of(const ShardSet& set, const std::vector<int>& indexes) {
  json out = json::array();
  for (int i : indexes) out.push_back(set.shards()[static_cast<size_t>(i)].str());
  return out;
}

ShardSet set_of(const json& names) {
  return ShardSet(parse_shard_names(names.get<std::vector<std::string>>()).value());
}

json run_key_range(const std::string& op, const json& args) {
  if (op == "normalize") return base::hex_encode(normalize(bytes_of(args[0])));
  if (op == "compare") return sign(compare(bytes_of(args[0]), bytes_of(args[1])));
  if (op == "equal") return compare(bytes_of(args[0]), bytes_of(args[1])) == 0;
  if (op == "empty") return normalize(bytes_of(args[0])).empty();
  if (op == "add") {
    if (args[0] == "" || args[1] == "") return nullptr;  // No range, which the type here cannot be.
    const auto sum = KeyRange::join(range_of(args[0]), range_of(args[1]));
    return sum ? json(sum->to_string()) : json();
  }
  if (op == "contains") return range_of(args[0]).contains(KeyspaceId{bytes_of(args[1])});
  if (op == "intersect") return range_of(args[0]).intersects(range_of(args[1]));
  if (op == "contains_range") return range_of(args[0]).contains(range_of(args[1]));
  if (op == "contiguous") {
    const KeyRange a = range_of(args[0]);
    const KeyRange b = range_of(args[1]);
    // The vectors also call the last and the first range of a keyspace contiguous; here, nothing follows the last.
    const bool around =
        normalize(a.end()).empty() && normalize(b.start()).empty() && !a.is_complete() && !b.is_complete();
    return around || a.is_followed_by(b);
  }
  if (op == "range_compare") {
    const KeyRange a = range_of(args[0]);
    const KeyRange b = range_of(args[1]);
    return {{"start", sign(compare_starts(a, b))}, {"end", sign(compare_ends(a, b))}, {"compare", sign(compare(a, b))}};
  }
  if (op == "start_equal") return compare_starts(range_of(args[0]), range_of(args[1])) == 0;
  if (op == "end_equal") return compare_ends(range_of(args[0]), range_of(args[1])) == 0;
  if (op == "range_equal") return range_of(args[0]) == range_of(args[1]);
  if (op == "is_partial") return !range_of(args[0]).is_complete();
  if (op == "range_string") return KeyRange(bytes_of(args[0]), bytes_of(args[1])).to_string();
  if (op == "is_valid") return KeyRange::parse(args[0].get<std::string>()).ok();
  if (op == "parse_sharding_spec") {
    const auto ranges = parse_sharding_spec(args[0].get<std::string>());
    if (!ranges) return nullptr;
    json out = json::array();
    for (const KeyRange& range : *ranges)
      out.push_back({base::hex_encode(range.start()), base::hex_encode(range.end())});
    return out;
  }
  if (op == "generate_shard_ranges") {
    const auto names = generate_shard_ranges(args[0], args[1]);
    return names ? json(*names) : json();
  }
  if (op == "even_shards_key_range") {
    const auto range = even_shard_range(args[0], args[1]);
    return range ? json(range->to_string()) : json();
  }
  const ShardSet set = set_of(args[0]);
  if (op == "resolve_keyspace_id") {
    const int i = set.find(bytes_of(args[1]));
    return i < 0 ? json() : json(set.shards()[static_cast<size_t>(i)].str());
  }
  if (op == "resolve_keyrange") return names_of(set, set.find_overlapping(range_of(args[1])));
  if (op == "resolve_exact_keyrange") {
    const auto found = set.find_exactly(range_of(args[1]));
    return found ? names_of(set, *found) : json();
  }
  return "unknown operation";
}

TEST(KeyRange, AgreesWithTheVectors) {
  const json vectors = load_vectors("keyrange_vectors.json");
  if (vectors.is_null()) GTEST_SKIP() << "the corpus is not here";
  for (const json& v : vectors) {
    // Refused there because bounds are compared as text, upper before lower case.
    if (v["op"] == "parse_sharding_spec" && v["args"][0] == "a0-B0") continue;
    EXPECT_EQ(run_key_range(v["op"], v["args"]), v["result"]) << v.dump();
  }
  EXPECT_GT(vectors.size(), 2000u);
}

struct Input {
  std::vector<std::string> texts;
  std::vector<VindexValue> values;
};

// Column values as a planner or a row reader makes them.
Input input_of(const json& input) {
  Input out;
  out.texts.reserve(input.size());
  for (const json& column : input) {
    const std::string type = column["type"];
    std::string& text = out.texts.emplace_back();
    if (column.contains("hex")) {
      text = bytes_of(column["hex"]);
    } else if (column.contains("value")) {
      text = column["value"];
    }
    if (type == "NULL") {
      out.values.push_back(VindexValue::null());
    } else if (type == "INT64" || type == "INT32") {
      out.values.push_back(VindexValue::integer_text(text, false).value());
    } else if (type == "UINT64") {
      out.values.push_back(VindexValue::integer_text(text, true).value());
    } else if (type == "HEXVAL" || type == "HEXNUM") {
      text = base::hex_decode(type == "HEXVAL" ? text.substr(2, text.size() - 3) : text.substr(2)).value();
      out.values.push_back(VindexValue::hex(text));
    } else {
      out.values.push_back(VindexValue::bytes(text));
    }
  }
  return out;
}

json json_of(const Result<Destination>& destination) {
  if (!destination) return {{"error", true}};
  switch (destination->kind) {
    case Destination::Kind::kNone: return {{"destination", "none"}};
    case Destination::Kind::kAllShards: return {{"destination", "all"}};
    case Destination::Kind::kKeyRange:
      return {{"keyrange", base::hex_encode(destination->key_range.start()) + "-" +
                               base::hex_encode(destination->key_range.end())}};
    case Destination::Kind::kKeyspaceId: return {{"ksid", destination->keyspace_id.to_hex()}};
  }
  return {};
}

// Vitess routes LIKE by a hash of the pattern's last, incomplete piece, which is not the start of the hash of a longer
// value, and takes \\b and its like for control characters where a server takes the letter. Both lose rows, so here the
// range may be wider: it must contain what the vector says, or be all shards.
bool is_wider(const json& got, const json& wanted) {
  if (got.contains("destination")) return got["destination"] == "all";
  return got.contains("keyrange") && wanted.contains("keyrange") &&
         range_of(got["keyrange"]).contains(range_of(wanted["keyrange"]));
}

json run_vindex(const Vindex& vindex, const json& v) {
  const std::string op = v["op"];
  if (op == "map") return json_of(vindex.map(input_of(v["input"]).values));
  if (op == "map_prefix") {
    const auto out = vindex.map_like(input_of(v["input"]).texts[0]);
    return out ? json_of(*out) : json("no prefixes");
  }
  if (op == "verify") {
    const auto out = vindex.verify(input_of(v["input"]).values, KeyspaceId{bytes_of(v["ksid"])});
    return out ? json{{"result", *out}} : json{{"error", true}};
  }
  if (op == "reverse_map") {
    const auto out = vindex.reverse_map(KeyspaceId{bytes_of(v["ksid"])});
    if (!out) return {{"error", true}};
    return {{"output", {{"type", "UINT64"}, {"value", std::to_string(std::get<uint64_t>(*out))}}}};
  }
  if (op == "range_map") {
    const Input input = input_of(v["input"]);
    const auto out = vindex.map_between(input.values[0], input.values[1]);
    return out ? json{{"keyrange", out->first.to_hex() + "-" + out->last.to_hex()}} : json{{"error", true}};
  }
  return "unknown operation";
}

TEST(Vindex, AgreesWithTheVectors) {
  const json vectors = load_vectors("vindex_vectors.json");
  if (vectors.is_null()) GTEST_SKIP() << "the corpus is not here";
  int ran = 0;
  int wider = 0;
  for (const json& v : vectors) {
    if (v["op"] == "create" || v["op"] == "loose_key") continue;
    const auto vindex = create_vindex(v["vindex"].get<std::string>(), v["vindex"].get<std::string>(), v["params"]);
    ASSERT_TRUE(vindex) << v.dump();
    const json got = run_vindex(**vindex, v);
    bool same = got.is_object();
    if (same) {
      for (const auto& [key, value] : got.items()) same = same && v.contains(key) && v[key] == value;
    }
    if (!same && v["op"] == "map_prefix" && is_wider(got, v))
      ++wider;
    else
      EXPECT_TRUE(same) << v.dump() << "\ngot " << got.dump();
    ++ran;
  }
  EXPECT_GT(ran, 2000);
  EXPECT_LT(wider, 60);
}

TEST(PrimaryWeights, AgreeWithTheVectors) {
  const json vectors = load_vectors("vindex_vectors.json");
  if (vectors.is_null()) GTEST_SKIP() << "the corpus is not here";
  int ran = 0;
  for (const json& v : vectors) {
    if (v["op"] != "loose_key") continue;
    std::string key;
    ASSERT_TRUE(append_primary_weights(input_of(v["input"]).texts[0], key));
    EXPECT_EQ(base::hex_encode(key), v["key"].get<std::string>()) << v.dump();
    ++ran;
  }
  EXPECT_GT(ran, 100);
}

TEST(Vindex, IsCreatedAsTheVectorsSay) {
  const json vectors = load_vectors("vindex_vectors.json");
  if (vectors.is_null()) GTEST_SKIP() << "the corpus is not here";
  for (const json& v : vectors) {
    if (v["op"] != "create") continue;
    const auto vindex = create_vindex(v["vindex"].get<std::string>(), v["vindex"].get<std::string>(), v["params"]);
    if (v.contains("error")) {
      ASSERT_FALSE(vindex) << v.dump();
      EXPECT_EQ(vindex.error().message(), v["error"].get<std::string>());
      continue;
    }
    ASSERT_TRUE(vindex) << v.dump();
    EXPECT_EQ((*vindex)->cost(), v["cost"]) << v.dump();
    EXPECT_EQ((*vindex)->is_unique(), v["unique"]) << v.dump();
    EXPECT_EQ(json((*vindex)->unknown_parameters()), v["unknown_params"]) << v.dump();
  }
}

}  // namespace
}  // namespace vitrail::shard
