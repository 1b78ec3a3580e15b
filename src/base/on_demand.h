#pragma once

#include <memory>

namespace vitrail::base {

// A value that most of its owners never need: it takes a pointer's room until it is first touched by other than a const
// reader. It is not copied.
template <typename T>
class OnDemand {
 public:
  T& operator*() {
    if (value_ == nullptr) value_ = std::make_unique<T>();
    return *value_;
  }
  T* operator->() { return &**this; }
  const T& operator*() const {
    static const T none{};
    return value_ == nullptr ? none : *value_;
  }
  const T* operator->() const { return &**this; }
  // As it was at first.
  void reset() { value_ = nullptr; }

 private:
  std::unique_ptr<T> value_;
};

}  // namespace vitrail::base
