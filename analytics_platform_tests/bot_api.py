"""aiogram's models of the Bot API, each made ready when it is first asked for.

Belongs here: importing aiogram without what it builds at once: validators of all its four hundred models, two seconds
of CPU in every process, for the dozen that the stand-in speaks with. Does not: what is validated with them.
"""

from typing import Any, TypeVar

import pytest
from pydantic import BaseModel

Model = TypeVar("Model", bound=BaseModel)


def _not_yet(_model: type[BaseModel], /, **_how: object) -> None:
    """What aiogram asks of each model as it is imported, for which all are there only afterwards."""


with pytest.MonkeyPatch.context() as _patch:
    _patch.setattr(BaseModel, "model_rebuild", classmethod(_not_yet))
    import aiogram.methods
    import aiogram.types

METHODS: dict[str, type[BaseModel]] = {
    model.__api_method__: model for model in vars(aiogram.methods).values() if getattr(model, "__api_method__", None)
}


def ready(model: type[Model]) -> type[Model]:
    """That model of aiogram's with its validator, which takes milliseconds once."""
    names: dict[str, Any] = vars(aiogram.types)
    model.model_rebuild(_types_namespace=names)
    return model


ChatFullInfo = ready(aiogram.types.ChatFullInfo)
ChatMemberAdministrator = ready(aiogram.types.ChatMemberAdministrator)
Message = ready(aiogram.types.Message)
Update = ready(aiogram.types.Update)
User = ready(aiogram.types.User)
