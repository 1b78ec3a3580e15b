#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "tabletmanagerdata.pb.h"
#include "topodata.pb.h"

// What the throttler answers, from what is configured and what was measured. No I/O.
namespace vitrail::tablet {

struct Reading {
  double value = 0;
  std::string error;  // Not empty: it could not be measured.
  bool operator==(const Reading&) const = default;
};
using Readings = std::map<std::string, Reading, std::less<>>;  // By metric.

struct Measured {
  Readings self;
  Readings shard;  // The largest of the shard's tablets. Empty where that is not known: on replicas.
};

// Asks on behalf of the shard's primary: gets all metrics of this tablet, and is never throttled.
inline constexpr std::string_view kCollectorApp = "vitess";

// Of each metric the largest value; an error only where nobody could measure it.
Readings largest(const std::vector<Readings>& all);

// `app`: names joined by ':'. `scope`: "", "self" or "shard". `dice`: from 0 up to 1, for apps that are throttled in
// part.
::tabletmanagerdata::CheckThrottlerResponse check_throttler(const ::topodata::ThrottlerConfig& config,
                                                            const Measured& measured, std::string_view app,
                                                            std::string_view scope, bool ok_if_not_exists,
                                                            base::WallTime now, double dice);

// The number that a custom query gave; nothing when its result is none.
std::optional<double> read_number(std::string_view text);

}  // namespace vitrail::tablet
