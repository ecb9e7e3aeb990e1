# Part of timers.pyx: steps a coroutine in place of its task.

cdef extern from "Python.h":
    int PyIter_Send(object iterator, object value, PyObject **result) except -1

cdef enum:
    SEND_RETURN = 0         # as PyGEN_RETURN, PYGEN_NEXT of PySendResult
    SEND_NEXT = 1


cdef enum StepperState:
    STEPPER_IDLE            # the task steps it, or waits for it
    STEPPER_STEPPING        # it steps the coroutine itself
    STEPPER_YIELDED         # there is something that the task has to see
    STEPPER_RETURNED
    STEPPER_RAISED


cdef object _enter_task = enter_task
cdef object _leave_task = leave_task


cdef class Stepper:
    """A coroutine whose task need not be woken for each operation that it awaits.

    A task of asyncio looks up six attributes of the future that it waits for, at each turn. A
    stepper stands between a task and its coroutine. The task takes it for the coroutine, and also
    for the future that it waits for, as long as the coroutine goes from one operation of ours to
    the next. The coroutine runs in the context of the task, which stays the current task. The task
    itself sees all else: other awaitables, the end, exceptions, name, cancellation and result.

    :param loop: whose task it is for.
    :param coroutine: what the task would run.
    """
    cdef object _loop
    cdef object _coroutine
    cdef object _task
    cdef object _wakeup             # of the task, and the context to call it in
    cdef object _context
    cdef object _shown              # the operation awaited, or what the task has to see
    cdef unsigned char _state       # a StepperState: each idle user has one of these objects
    cdef unsigned char _cancel_asked
    cdef public bint _asyncio_future_blocking

    def __init__(self, loop, coroutine):
        self._loop = loop
        self._coroutine = coroutine

    # -- for the operation awaited --

    cdef int woken(self, Waiter waiter) except -1:
        """What the coroutine awaits is over: step it here and now, if that is safe."""
        loop, context = self._loop, self._context
        if waiter._state == WAITER_CANCELLED or _in_task(loop):
            return self._wake_later()
        try:
            PyContext_Enter(context)
        except RuntimeError:    # we already run inside this very context
            return self._wake_later()
        try:
            if not self._step():
                _call_now(loop, self._wakeup, self)
        finally:
            PyContext_Exit(context)     # the task may have ended, and let go of it
        return 0

    cdef int _wake_later(self) except -1:
        self._loop.call_soon(self._wakeup, self, context=self._context)
        return 0

    cdef bint _step(self) except -1:
        """Step the coroutine; False if the task has to see what came of it."""
        cdef PyObject *out = NULL
        cdef int status
        cdef Waiter waiter
        loop = self._loop
        self._shown = None
        self._state = STEPPER_STEPPING
        if _current_tasks is None:
            _enter_task(loop, self._task)
        else:
            _current_tasks[loop] = self._task
        try:
            status = PyIter_Send(self._coroutine, None, &out)
        except BaseException as error:
            self._shown = error
            self._state = STEPPER_RAISED
            return False
        finally:
            if _current_tasks is None:
                _leave_task(loop, self._task)
            else:
                del _current_tasks[loop]
        shown = <object>out
        Py_DECREF(shown)
        if status == SEND_RETURN:
            self._shown = shown
            self._state = STEPPER_RETURNED
            return False
        if not self._await_for(shown):
            self._shown = shown
            self._state = STEPPER_YIELDED
            return False
        self._state = STEPPER_IDLE
        if self._cancel_asked:
            self._cancel_asked = False
            if cancel_asked(self._task):   # not so if it was taken back in the same step
                waiter = self._shown
                waiter._callback = None
                waiter.cancel(cancel_message(self._task))
                self._wake_later()
        return True

    cdef bint _await_for(self, object shown) except -1:
        """Wait in the task's place, if that is an operation of ours."""
        cdef Waiter waiter
        if not isinstance(shown, Waiter):
            return False
        waiter = <Waiter>shown
        if (waiter._state != WAITER_PENDING or waiter._callback is not None
                or not waiter._asyncio_future_blocking
                or waiter._queue.loop is not self._loop):
            return False
        waiter._asyncio_future_blocking = False
        waiter._callback = self
        self._shown = waiter
        return True

    # -- for the task: a coroutine --

    cdef int _sent(self, object value, PyObject **result) except -1:
        cdef int status
        cdef int state = self._state
        shown, self._shown = self._shown, None
        self._state = STEPPER_IDLE
        if state == STEPPER_IDLE:
            try:
                status = PyIter_Send(self._coroutine, value, result)
            except BaseException:
                self._let_go()
                raise
            if status == SEND_RETURN:
                self._let_go()
                return SEND_RETURN
            if not self._taken_over(<object>result[0]):
                return SEND_NEXT
            Py_DECREF(<object>result[0])
            shown = self
        if state == STEPPER_RAISED or state == STEPPER_RETURNED:
            self._let_go()
            if state == STEPPER_RAISED:
                raise shown
        Py_INCREF(shown)
        result[0] = <PyObject *>shown
        return SEND_RETURN if state == STEPPER_RETURNED else SEND_NEXT

    cdef void _let_go(self) noexcept:
        # The task holds on to its coroutine: the collector need not be what parts them.
        self._task = self._wakeup = self._context = None

    cdef bint _taken_over(self, object shown) except -1:
        if self._task is None:
            self._task = _current_task(self._loop)
        if self._task is None or not self._await_for(shown):
            return False
        self._asyncio_future_blocking = True
        return True

    def send(self, value):
        """As of a coroutine: go on to the next thing that the task has to wait for."""
        cdef PyObject *out = NULL
        cdef int status = self._sent(value, &out)
        shown = <object>out
        Py_DECREF(shown)
        if status == SEND_RETURN:
            raise StopIteration(shown)
        return shown

    def throw(self, *error):
        """As of a coroutine: raise an error where it waits, and go on."""
        cdef int state = self._state
        shown, self._shown = self._shown, None
        self._state = STEPPER_IDLE
        if state == STEPPER_RAISED or state == STEPPER_RETURNED:
            # Cancelled in the very step that was the last. As in asyncio, an exception of the
            # coroutine's wins, and its result does not.
            self._let_go()
            raise shown if state == STEPPER_RAISED else error[0]
        if state == STEPPER_IDLE and isinstance(shown, Waiter):
            (<Waiter>shown)._callback = None
            (<Waiter>shown).cancel()
        elif shown is not self._task and getattr(shown, "_asyncio_future_blocking", False):
            # Cancelled in the step that began to wait for it.
            shown.cancel()
        try:
            shown = self._coroutine.throw(*error)
        except BaseException:
            self._let_go()
            raise
        return self if self._taken_over(shown) else shown

    def close(self):
        """As of a coroutine: end it where it waits."""
        self._coroutine.close()

    def __await__(self):
        return self

    def __iter__(self):
        return self

    def __next__(self):
        return self.send(None)

    # -- what others ask of a coroutine: of the real one --

    @property
    def __name__(self):
        return self._coroutine.__name__

    @property
    def __qualname__(self):
        return self._coroutine.__qualname__

    @property
    def cr_await(self):
        return self._coroutine.cr_await

    @property
    def cr_code(self):
        return self._coroutine.cr_code

    @property
    def cr_frame(self):
        return self._coroutine.cr_frame

    @property
    def cr_origin(self):
        return self._coroutine.cr_origin

    @property
    def cr_running(self):
        return self._coroutine.cr_running

    def __repr__(self):
        return f"<Stepper of {self._coroutine!r}>"

    # -- for the task: a future --

    def get_loop(self):
        return self._loop

    def add_done_callback(self, callback, *, context=None):
        self._wakeup = callback
        self._context = context

    def result(self):
        """Raise a cancellation of the operation; everything else the task learns at its next step."""
        if isinstance(self._shown, Waiter) and (<Waiter>self._shown)._state == WAITER_CANCELLED:
            raise (<Waiter>self._shown)._make_cancelled_error()

    def cancel(self, msg=None) -> bool:
        if self._state == STEPPER_STEPPING:
            self._cancel_asked = True   # the task is not waiting: it notes that it is to be cancelled
            return False
        return isinstance(self._shown, Waiter) and (<Waiter>self._shown).cancel(msg)


cdef int _stepper_send(Stepper stepper, object value, PyObject **result) except -1:
    return stepper._sent(value, result)


ghost_set_am_send(Stepper, <void *>_stepper_send)
