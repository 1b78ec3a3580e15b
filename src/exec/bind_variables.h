#pragma once

#include <string>

#include "base/result.h"
#include "query.pb.h"

namespace vitrail::exec {

// A value of a bind variable as a literal of SQL. kUnimplemented: one that no literal can say.
Status append_literal(std::string& out, ::query::Type type, const std::string& bytes);

// `sql` with the values of its bind variables (":name", "::list") written into it as literals. kInvalidArgument: one is
// missing, or is none that a literal can say.
Result<std::string> with_bind_variables(const std::string& sql,
                                        const google::protobuf::Map<std::string, ::query::BindVariable>& variables);

}  // namespace vitrail::exec
