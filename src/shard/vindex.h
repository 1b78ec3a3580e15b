#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"
#include "shard/destination.h"
#include "shard/keyspace_id.h"
#include "shard/vindex_value.h"

namespace vitrail::shard {

// A vindex: the function from column values to the place of a row in the key space.
//
//   Kind    : functional, all of them: computed from the values alone, without a lookup table.
//   Threads : immutable after creation; every method may run concurrently.
//   Source  : names, parameters, costs and results are Vitess's ("Vindexes" in its reference), bit for bit, since rows
//             were placed with them.
class Vindex {
 public:
  virtual ~Vindex() = default;

  // The name in the vschema, and the type ("hash").
  const std::string& name() const { return name_; }
  const std::string& type() const { return type_; }

  // Of several usable vindexes a planner takes the one with the least cost: 0 identity, 1 computation, 100 useless.
  virtual int cost() const = 0;
  // One value maps to at most one keyspace id: what a primary vindex needs.
  virtual bool is_unique() const { return true; }
  // How many columns map() takes: exactly one for most; for others up to max_columns(), and fewer than that (but at
  // least min_columns()) give a key range instead of an id.
  virtual int min_columns() const { return 1; }
  virtual int max_columns() const { return 1; }

  // Maps one row's column values into `out`, whose buffers are reused: no allocation once they are large enough.
  //   kInvalidArgument  a number of columns outside the limits; a value the function is not defined for, where Vitess
  //                     refuses too (others map to kNone).
  virtual Status map_into(std::span<const VindexValue> columns, Destination& out) const = 0;
  Result<Destination> map(std::span<const VindexValue> columns) const;
  Result<Destination> map(const VindexValue& column) const { return map(std::span(&column, 1)); }

  // Is `id` the keyspace id of these values? Errors as map_into().
  Result<bool> verify(std::span<const VindexValue> columns, const KeyspaceId& id) const;

  // The column value that maps to `id`. kUnimplemented unless is_reversible(); kInvalidArgument for a wrong length.
  using ColumnValue = std::variant<uint64_t, std::string>;
  virtual bool is_reversible() const { return false; }
  virtual Result<ColumnValue> reverse_map(const KeyspaceId& id) const;

  // Where column values BETWEEN two values are: every such row's id is in [first, last], both included (see
  // ShardSet::find_between). Only for vindexes that keep the order of the values; nullopt for all others, and for
  // values that the function is not defined for.
  struct IdInterval {
    KeyspaceId first;
    KeyspaceId last;
  };
  virtual std::optional<IdInterval> map_between(const VindexValue& from, const VindexValue& to) const;

  // Where column values LIKE `pattern` are (kKeyRange or kAllShards); nullopt for vindexes that do not keep prefixes
  // together.
  virtual std::optional<Destination> map_like(std::string_view pattern) const;

  // For loops over rows: integers map to the eight big-endian bytes of function(value). nullptr for vindexes of another
  // form. Where !accepts_negative, a negative integer maps to kNone.
  struct IntegerFunction {
    uint64_t (*function)(uint64_t) = nullptr;
    bool accepts_negative = false;
  };
  virtual IntegerFunction integer_function() const { return {}; }

  // May it be a part of a multi-column vindex, which concatenates the first bytes of its parts' ids?
  virtual bool is_combinable() const { return is_unique() && max_columns() == 1; }

  // Parameters given that this type does not know: reported to the operator, otherwise ignored.
  const std::vector<std::string>& unknown_parameters() const { return unknown_parameters_; }

 protected:
  Vindex(std::string_view type, std::string_view name) : type_(type), name_(name) {}
  Status check_column_count(size_t given) const;
  // Reads an eight-byte id.
  Result<uint64_t> id_as_u64(const KeyspaceId& id) const;

 private:
  friend Result<std::shared_ptr<const Vindex>> create_vindex(std::string_view, std::string_view,
                                                             const std::map<std::string, std::string>&);
  std::string type_;
  std::string name_;
  std::vector<std::string> unknown_parameters_;
};

using VindexParameters = std::map<std::string, std::string>;

// A parameter that a function may read. Reading marks it as known.
class ParameterReader {
 public:
  explicit ParameterReader(const VindexParameters& parameters) : parameters_(parameters) {}
  // nullptr if not given.
  const std::string* find(std::string_view name);
  void accept_all() { accept_all_ = true; }
  // Those that nobody asked for, sorted.
  std::vector<std::string> unknown() const;

 private:
  const VindexParameters& parameters_;
  std::vector<std::string> known_;
  bool accept_all_ = false;
};

using VindexFactory =
    std::function<Result<std::unique_ptr<Vindex>>(std::string_view name, ParameterReader& parameters)>;

// Makes a vindex of a registered type. kInvalidArgument: unknown type, bad parameters; the text names the vindex.
Result<std::shared_ptr<const Vindex>> create_vindex(std::string_view type, std::string_view name,
                                                    const VindexParameters& parameters);

// Adds a type, or replaces one. Call before the first vschema is loaded; thread-safe.
void register_vindex_type(std::string_view type, VindexFactory factory);
std::vector<std::string> vindex_types();

}  // namespace vitrail::shard
