#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "binlogdata.pb.h"
#include "gate/view.h"
#include "movement/filter.h"

// What a VStream reads and how far it is: values and decisions, without connections.
namespace vitrail::gate {

using ShardName = std::pair<std::string, std::string>;  // Keyspace, shard.

// The shards that a request names: an empty shard means all that serve `tablet_type` ("primary"), each from the same
// place.
//   kInvalidArgument: no shards, one twice, or a keyspace without a name. kNotFound: the keyspace does not serve that
//   type.
Result<std::vector<::binlogdata::ShardGtid>> vstream_starts(const ::binlogdata::VGtid& wanted, const View& view,
                                                            std::string_view tablet_type);

// The tables of a keyspace that are copied before a stream follows: those of the filter, and of `only` where it is not
// empty; sorted.
std::vector<std::string> vstream_tables(const movement::Filter& filter, const schema::Keyspace& tables,
                                        const std::vector<std::string>& only);

// What a tablet is asked for a table's rows.
std::string vstream_row_query(const movement::Filter& filter, std::string_view table);

// "t" -> "ks.t" in the events that name tables.
void vstream_qualify(::binlogdata::VEvent& event, const std::string& keyspace);

// How far a stream is: what it tells its client, who gives it back to go on from there.
class VStreamPosition {
 public:
  static constexpr const char* kNow = "current";
  explicit VStreamPosition(std::vector<::binlogdata::ShardGtid> starts);

  // References live as long as the shard is part of the stream.
  ::binlogdata::ShardGtid& of(const ShardName& shard) { return shards_.at(shard); }
  bool has(const ShardName& shard) const { return shards_.contains(shard); }
  std::vector<ShardName> names() const;
  ::binlogdata::VGtid to_proto() const;
  // No shard is at kNow any more.
  bool resolved() const;

  // `shard` has come to the entry of a switch to other shards in its log, and reads no further.
  //   Nothing: others that take part have not come to it yet. Else the shards in which the rows go on: they have taken
  //   the places of those that took part.
  //   kFailedPrecondition: a shard that takes part is none of the stream.
  Result<std::optional<std::vector<ShardName>>> arrive(const ShardName& shard, const ::binlogdata::Journal& journal);

 private:
  std::map<ShardName, ::binlogdata::ShardGtid> shards_;
  std::map<int64_t, std::set<ShardName>> arrived_;  // By journal.
};

// How far apart in time the shards of a stream are (VStreamFlags.minimize_skew): who is ahead waits for the others.
class VStreamSkew {
 public:
  static constexpr int64_t kMax = 10;  // Seconds.
  static constexpr base::Duration kSilent = std::chrono::seconds(10);

  // A shard has come to an event of that time (seconds), or, with nothing left to be read, to the present.
  void tell(const ShardName& shard, int64_t seconds, base::TimePoint now) { shards_[shard] = {seconds, now}; }
  // It is not read any more, or not now: nobody waits for it.
  void forget(const ShardName& shard) { shards_.erase(shard); }
  // The shard is more than kMax ahead of another one, which has told something within kSilent.
  bool must_wait(const ShardName& shard, base::TimePoint now) const;

 private:
  struct Told {
    int64_t seconds = 0;
    base::TimePoint at;
  };
  std::map<ShardName, Told> shards_;
};

// Whether an entry of the journal concerns the one who reads `shard`: its rows go on elsewhere.
bool vstream_moves(const ShardName& shard, const ::binlogdata::Journal& journal);

}  // namespace vitrail::gate
