#pragma once

#include <span>

#include "base/result.h"
#include "topodata.pb.h"
#include "vschema.pb.h"
#include "vschema/routing_rules.h"

// Pure functions on the MirrorRules record: reads of "keyspace.table[@tablet_type]" are run again on "keyspace.table",
// so many of a hundred. A rule without a type is about primaries alone.
namespace vitrail::vschema {

// Reads of these types, of every table of the move, are mirrored to its target; 0 percent: none of them any more.
// Types that cannot be read from are ignored. Returns whether that changed anything.
bool set_mirrors(::vschema::MirrorRules& rules, const TableMove& move, std::span<const ::topodata::TabletType> types,
                 float percent);
// None of any type is left.
bool delete_mirrors(::vschema::MirrorRules& rules, const TableMove& move);
// Of which types reads of a table of the move are mirrored to its target.
std::vector<::topodata::TabletType> mirrored_types(const ::vschema::MirrorRules& rules, const TableMove& move);

// kInvalidArgument: not between 0 and 100.
Status check_mirror_percent(float percent);

}  // namespace vitrail::vschema
