#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "movement/applier.h"
#include "movement/copy_lanes.h"
#include "movement/copy_snapshot.h"
#include "movement/derived_columns.h"
#include "movement/inbox.h"
#include "movement/stream.h"

// Private to stream.cc and stream_copy.cc.
namespace vitrail::movement {

// Neither a deadline of a test's clock nor a cancellation may cut a write in two: writes have a bound of their own.
inline net::Wait write_wait() { return net::Wait::within(std::chrono::minutes(5)); }

// What one life of a stream owns.
struct Stream::Session {
  explicit Session(net::Signal& wake, const net::CancelToken& cancel) : scope(cancel), events(wake) {}

  std::unique_ptr<ServerSession> server;
  TableMap tables;
  std::vector<CopyState> copy_states;
  net::Scope scope;
  EventInbox events;
  bool events_started = false;
  std::unique_ptr<Applier> applier;
  std::unique_ptr<ZoneConverter> zones;  // Null: DATETIME values stay what they are.
  struct Dates {
    size_t columns = 0;
    std::vector<size_t> fields;
  };
  std::map<std::string, Dates> dates;             // By the target's table.
  std::map<std::string, DerivedColumns> derived;  // Of the events that come, by the target's table.
  std::unique_ptr<Deriver> deriver;               // It connects when it has something to do.
  bool may_load = false;                          // LOAD DATA LOCAL.
  std::unique_ptr<CopyLanes> lanes;               // While copying.
  std::unique_ptr<CopySnapshot> snapshot;         // While copying, of all tables; null: each chunk has one of its own.
  base::TimePoint recorded_at;                    // When the progress of the copy was.
  bool in_transaction = false;                    // Of the source.
  std::string next_gtid;                          // Of the GTID event that came last.
  base::TimePoint saved_at;
  bool idle = false;                   // The source has told that there is nothing more.
  std::optional<Error> source_failed;  // Why another source is to be taken.
};

}  // namespace vitrail::movement
