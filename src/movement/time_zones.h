#pragma once

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "binlogdata.pb.h"
#include "movement/server_session.h"
#include "query.pb.h"

// DATETIME values of one time zone as those of another (BinlogSource.source_time_zone and target_time_zone). They are
// converted as the rows arrive, by the target's server, so that all behind it sees what the target is to have.
// TIMESTAMP is the same moment in every zone, and left alone.
namespace vitrail::movement {

struct TimeZones {
  std::string from;  // Both empty: nothing is converted.
  std::string to;

  bool differ() const { return from != to; }
};
// What is not said is UTC, where the other is.
TimeZones time_zones_of(const ::binlogdata::BinlogSource& source);

// Which fields are converted, as indexes.
std::vector<size_t> datetime_fields(const google::protobuf::RepeatedPtrField<::query::Field>& fields);
// The row with other values in these fields; the values in the order of `fields`, those that are NULL stay so.
Status replace_cells(::query::Row& row, size_t columns, const std::vector<size_t>& fields,
                     const std::vector<std::string>& values);

// A connection of its own: the stream's may be busy while rows arrive.
//   Threads: one loop, one call at a time.
class ZoneConverter {
 public:
  ZoneConverter(ServerLogin login, TimeZones zones) : login_(std::move(login)), zones_(std::move(zones)) {}

  // `fields`: of rows that have `columns`.
  //   kFailedPrecondition: the server does not know the zones, or the values.
  net::Task<Status> convert(std::vector<::query::Row*> rows, size_t columns, std::vector<size_t> fields,
                            net::Wait wait);

 private:
  net::Task<Status> ask(std::vector<std::string> values, net::Wait wait);

  const ServerLogin login_;
  const TimeZones zones_;
  std::unique_ptr<ServerSession> session_;
  std::unordered_map<std::string, std::string> known_;
};

}  // namespace vitrail::movement
