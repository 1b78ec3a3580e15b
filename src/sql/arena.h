#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <memory>
#include <new>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace vitrail::sql {

// Memory of one AST: handed out in order, freed at once. Objects must be trivially destructible (no destructor runs).
//   Bounds  : the arena itself never refuses; the parser asks size() and gives up beyond its limit.
//   Threads : one at a time.
class Arena {
 public:
  Arena() = default;
  Arena(Arena&&) noexcept = default;
  Arena& operator=(Arena&&) noexcept = default;

  void* allocate(size_t size, size_t alignment) {
    auto at = reinterpret_cast<uintptr_t>(at_);
    const uintptr_t aligned = (at + alignment - 1) & ~(static_cast<uintptr_t>(alignment) - 1);
    const size_t needed = aligned - at + size;
    if (at_ == nullptr || needed > static_cast<size_t>(end_ - at_)) {
      grow(size + alignment);
      return allocate(size, alignment);
    }
    at_ += needed;
    return reinterpret_cast<void*>(aligned);
  }

  template <typename T, typename... Args>
  T* make(Args&&... args) {
    static_assert(std::is_trivially_destructible_v<T>);
    return new (allocate(sizeof(T), alignof(T))) T{std::forward<Args>(args)...};
  }

  template <typename T>
  std::span<T> copy(std::span<const T> items) {
    static_assert(std::is_trivially_destructible_v<T>);
    if (items.empty()) return {};
    T* out = static_cast<T*>(allocate(items.size() * sizeof(T), alignof(T)));
    std::uninitialized_copy(items.begin(), items.end(), out);
    return {out, items.size()};
  }
  template <typename T>
  std::span<T> list(std::initializer_list<T> items) {
    return copy(std::span<const T>(items.begin(), items.size()));
  }

  std::string_view copy_text(std::string_view text) {
    if (text.empty()) return {};
    char* out = static_cast<char*>(allocate(text.size(), 1));
    std::memcpy(out, text.data(), text.size());
    return {out, text.size()};
  }

  // Bytes taken from the system so far.
  size_t size() const { return size_; }

 private:
  void grow(size_t at_least) {
    const size_t chunk = std::max(at_least, std::clamp<size_t>(size_, 2048, 1 << 20));
    chunks_.push_back(std::unique_ptr<char[]>(new char[chunk]));
    at_ = chunks_.back().get();
    end_ = at_ + chunk;
    size_ += chunk;
  }

  std::vector<std::unique_ptr<char[]>> chunks_;
  char* at_ = nullptr;
  char* end_ = nullptr;
  size_t size_ = 0;
};

}  // namespace vitrail::sql
