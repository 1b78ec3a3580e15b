#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "plan/views.h"
#include "schema/schema.h"

// A change of a view's rows is the same change of its table's, with the view's condition.
namespace vitrail::plan {

// The name that an INSERT, REPLACE, or an UPDATE or DELETE of one table changes, if no vschema knows it.
std::optional<UnknownTable> changed_unknown(const sql::Statement& statement, const PlanContext& context);

// What a server tells of a view.
struct ViewDefinition {
  std::string query;       // As view_query() gives it.
  bool updatable = false;  // As the server sees it.
  bool checked = false;    // WITH CHECK OPTION
};

// The statement on the table that the view shows (which may be a view again). Where the view is checked, an UPDATE may
// not assign to columns of its condition, nor may these be computed from others: then its rows stay its rows. (Triggers
// are not looked at.) `schema`: where the table's columns are known.
//   kInvalidArgument  1054, 1288, 1348, 1471: as a server refuses it.
//   kUnimplemented    a view that is not one table's rows; columns that may not be the view's (subqueries); RETURNING.
Result<std::string> change_of_table(std::string_view text, const UnknownTable& view, const ViewDefinition& definition,
                                    const schema::Snapshot* schema);

}  // namespace vitrail::plan
