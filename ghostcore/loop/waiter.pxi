# Part of timers.pyx: what can be awaited.

cdef class Waiter(Timer):
    """An operation under way: awaitable once, from any task of its loop, with asyncio's manners.

    It stands in for a Future wherever asyncio takes one (``await``, ``wait_for``, ``gather``,
    ``shield``), but the callback that completes it wakes the task that awaits it directly where
    that is safe: when no task is running and the task's own context can be entered. Otherwise the
    wake-up goes through the loop, as with a Future.
    """

    def __dealloc__(self):
        global _live_waiters
        if self._state == WAITER_PENDING:
            _live_waiters -= 1      # thrown away together with whoever awaited it

    cdef int begin(self) except -1:
        return 0

    cdef int detach(self) except -1:
        return 0

    cdef int give_back(self, object value) except -1:
        return 0

    cdef int expired(self, int64_t now_ns) except -1:
        return self.fail(TimeoutError())

    cdef int fire(self, int64_t now_ns) except -1:
        return self.expired(now_ns)

    cdef int _begin(self) except -1:
        global _live_waiters
        self._state = WAITER_PENDING
        _live_waiters += 1
        self._queue.work_done += 1
        try:
            self.begin()
        except BaseException as error:
            self.fail(error)
        return 0

    cdef int complete(self, object value) except -1:
        """The operation has a result. Ignored unless it is pending."""
        if self._state != WAITER_PENDING:
            return 0
        self._value = value
        self._state = WAITER_DONE
        return self._wake()

    cdef int fail(self, object error) except -1:
        """The operation failed. Ignored unless it is pending."""
        if self._state != WAITER_PENDING:
            return 0
        self._error = error
        self._state = WAITER_DONE
        return self._wake()

    cdef int _wake(self) except -1:
        global _live_waiters
        _live_waiters -= 1
        if self._slot >= 0:
            self._queue.remove(self)
        callback = self._callback
        if callback is None:
            return 0
        context = self._context
        more = self._more
        self._callback = self._context = self._more = None
        if more is None:
            if type(callback) is Stepper:
                return (<Stepper>callback).woken(self)
            return self._wake_one(callback, context)
        # Several callbacks (gather, shield): asyncio promises to call them in the order of adding.
        if type(callback) is Stepper:
            (<Stepper>callback)._wake_later()   # by its task, which may be cancelled until then
        else:
            self._queue.loop.call_soon(callback, self, context=context)
        for callback, context in more:
            self._queue.loop.call_soon(callback, self, context=context)
        return 0

    cdef int _wake_one(self, object callback, object context) except -1:
        loop = self._queue.loop
        if self._state == WAITER_CANCELLED or _in_task(loop):
            loop.call_soon(callback, self, context=context)
            return 0
        try:
            PyContext_Enter(context)
        except RuntimeError:    # we already run inside this very context
            loop.call_soon(callback, self, context=context)
            return 0
        try:
            _call_now(loop, callback, self)
        finally:
            PyContext_Exit(context)
        return 0

    def __await__(self):
        return self

    def __iter__(self):
        return self

    def __next__(self):
        if self._poll():
            raise StopIteration(self._value)
        return self

    cdef bint _poll(self) except -1:
        """Whether the value is there; raises the error if it is that."""
        if self._state == WAITER_NEW:
            self._begin()
        if self._state == WAITER_DONE:
            if self._error is not None:
                raise self._error
            self._taken = True
            return True
        if self._state == WAITER_CANCELLED:
            raise self._make_cancelled_error()
        if self._callback is not None:
            raise UsageError("this operation is awaited by another task already: "
                             "start one operation for each task")
        self._asyncio_future_blocking = True
        self._awaited = True
        return False

    # -- what asyncio asks of a future --

    def get_loop(self):
        """The event loop of the operation."""
        return self._queue.loop

    def add_done_callback(self, callback, *, context=None):
        """Call `callback(operation)` once it is done, on the loop; begins an operation that nobody
        has awaited yet.

        :param context: the context to call it in; None: a copy of that of the caller.
        """
        if context is None:
            context = _copy_context()
        if self._state == WAITER_NEW:
            self._begin()
        if self._state >= WAITER_DONE:
            self._queue.loop.call_soon(callback, self, context=context)
        elif self._callback is None:
            self._callback = callback
            self._context = context
        else:
            if self._more is None:
                self._more = []
            self._more.append((callback, context))

    def remove_done_callback(self, callback) -> int:
        """Take a callback off again; returns how often it was there."""
        waiting = []
        if self._callback is not None:
            waiting.append((self._callback, self._context))
        if self._more is not None:
            waiting.extend(self._more)
        kept = [pair for pair in waiting if pair[0] != callback]
        self._callback, self._context = kept[0] if kept else (None, None)
        self._more = kept[1:] or None
        return len(waiting) - len(kept)

    def cancel(self, msg=None) -> bool:
        """Give the operation up; who awaits it gets a CancelledError.

        :param msg: the argument of that error.
        :returns: False if the operation was done before.
        """
        global _live_waiters
        if self._state == WAITER_NEW:
            self._state = WAITER_PENDING
            _live_waiters += 1
        if self._state == WAITER_PENDING:
            self._state = WAITER_CANCELLED
            self._value = msg
            self.detach()
            self._wake()
            return True
        if self._state == WAITER_DONE and self._awaited and self._error is None and not self._taken:
            # The task is being cancelled between our result and its next step: what it will never
            # see goes back to where it came from. A holder of the future may still ask for it.
            self._taken = True
            self.give_back(self._value)
        return False

    def close(self):
        """Cancel the operation if the coroutine that is thrown away was alone in awaiting it."""
        if self._state == WAITER_PENDING and self._more is None:
            self._callback = self._context = None
            self.cancel()

    # gather() asks these of what was cancelled under it; not public, but not to be done without.
    @property
    def _cancel_message(self):
        return self._value if self._state == WAITER_CANCELLED else None

    def _make_cancelled_error(self):
        return CancelledError() if self._value is None else CancelledError(self._value)

    def cancelled(self) -> bool:
        """Whether the operation was given up."""
        return self._state == WAITER_CANCELLED

    def done(self) -> bool:
        """Whether the operation has a result, has failed, or was given up."""
        return self._state >= WAITER_DONE

    def result(self):
        """The result; raises the error if the operation failed.

        :raises asyncio.CancelledError: the operation was given up.
        :raises asyncio.InvalidStateError: the operation is under way.
        """
        if self._state == WAITER_CANCELLED:
            raise self._make_cancelled_error()
        if self._state != WAITER_DONE:
            raise InvalidStateError("the operation is still under way")
        if self._error is not None:
            raise self._error
        self._taken = True
        return self._value

    def exception(self):
        """The error of an operation that failed, None if it has a result.

        :raises asyncio.CancelledError: the operation was given up.
        :raises asyncio.InvalidStateError: the operation is under way.
        """
        if self._state == WAITER_CANCELLED:
            raise self._make_cancelled_error()
        if self._state != WAITER_DONE:
            raise InvalidStateError("the operation is still under way")
        return self._error


cdef class Sleep(Waiter):
    """What TimerQueue.sleep() returns."""

    cdef int begin(self) except -1:
        return self._queue.push(self, self._delay_ns)

    cdef int detach(self) except -1:
        return self._queue.remove(self)

    cdef int expired(self, int64_t now_ns) except -1:
        return self.complete(None)


cdef int _waiter_send(Waiter op, object value, PyObject **result) except -1:
    """``await`` without the StopIteration that carries a value through __next__()."""
    cdef bint done = op._poll()
    cdef object out = op._value if done else op
    Py_INCREF(out)
    result[0] = <PyObject *>out
    return not done     # PYGEN_RETURN is 0, PYGEN_NEXT 1, PYGEN_ERROR -1


# Cython has no name for this slot. Subclasses share the table that it stands in.
ghost_set_am_send(Waiter, <void *>_waiter_send)


cdef int _call_now(object loop, object callback, object future) except -1:
    """Call what the loop would call in its next pass."""
    try:
        callback(future)
    except BaseException as error:
        tell_of(loop, "waking a task failed", error)
    return 0
